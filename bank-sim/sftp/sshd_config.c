// The folders, the host key, and the configuration file.
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pwd.h>
#include <shadow.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sftp/sftp_internal.h"

static bool os_failed(err *e, const char *what, const char *path) {
    int why = errno;
    (void)err_set(e, ERR_UNAVAILABLE, "SFTP", "the sftp server could not be set up");
    return err_detail(e, "%s %s: %s", what, path, strerror(why));
}

// The paths go into a configuration file where blanks, quotes, '%' and '~' mean something.
static bool plain_path(const char *path, char out[SFTP_PATH_MAX], err *e) {
    static const char GOOD[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+,@=";
    if (path[0] != '/' || path[strspn(path, GOOD)] != '\0' || strlen(path) >= SFTP_PATH_MAX) {
        (void)err_set(e, ERR_INVALID_ARGUMENT, "SFTP_PATH",
                      "the sftp paths must be absolute, without blanks and quotes");
        return err_detail(e, "%s", path);
    }
    (void)snprintf(out, SFTP_PATH_MAX, "%s", path);
    return true;
}

static bool make_dir(const char *path, mode_t mode, uid_t owner, gid_t group, err *e) {
    if (mkdir(path, mode) != 0 && errno != EEXIST) {
        return os_failed(e, "mkdir", path);
    }
    if (geteuid() == 0 && chown(path, owner, group) != 0) {
        return os_failed(e, "chown", path);
    }
    return true;
}

static bool make_folders(const sftp *s, const struct passwd *user, err *e) {
    static const char *const FOLDERS[] = {
        "", "/inbox", "/outbox", "/outbox/done", "/outbox/bad", "/archive"};
    char path[SFTP_PATH_MAX + 32];
    for (size_t i = 0; i < sizeof(FOLDERS) / sizeof(FOLDERS[0]); i++) {
        (void)snprintf(path, sizeof(path), "%s%s", s->root, FOLDERS[i]);
        if (!make_dir(path, 0700, user->pw_uid, user->pw_gid, e)) {
            return false;
        }
    }
    // Where sshd as root wants its empty folder; a package's start script makes it otherwise.
    return geteuid() != 0 || make_dir("/run/sshd", 0755, 0, 0, e);
}

static bool make_host_key(const char *path, err *e) {
    struct stat st;
    if (stat(path, &st) == 0) {
        return true;
    }
    char *const argv[] = {(char *)"ssh-keygen", (char *)"-q", (char *)"-t", (char *)"ed25519",
                          (char *)"-N",         (char *)"",   (char *)"-C", (char *)"bank-sim",
                          (char *)"-f",         (char *)path, NULL};
    pid_t pid = 0;
    int status = 0;
    errno = posix_spawnp(&pid, "ssh-keygen", NULL, NULL, argv, environ);
    if (errno != 0) {
        return os_failed(e, "spawn", "ssh-keygen");
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return (WIFEXITED(status) && WEXITSTATUS(status) == 0) ||
           err_set(e, ERR_UNAVAILABLE, "SFTP_HOST_KEY", "ssh-keygen could not make a host key");
}

bool sftp_prepare(sftp *s, const sftp_options *o, err *e) {
    bool own_key = o->host_key_file[0] == '\0';
    char key[SFTP_PATH_MAX + 32];
    (void)snprintf(key, sizeof(key), "%s/ssh_host_ed25519_key", o->dir);
    if (!plain_path(o->sshd, s->sshd, e) || !plain_path(o->dir, s->dir, e) ||
        !plain_path(o->root, s->root, e) ||
        !plain_path(own_key ? key : o->host_key_file, s->host_key, e) ||
        !plain_path(o->authorized_key_file, s->authorized_key, e)) {
        return false;
    }
    if (o->relay[0] != '\0' &&
        (!plain_path(o->relay, s->relay, e) || !plain_path(o->relay_state, s->relay_state, e) ||
         !plain_path(o->server, s->server, e))) {
        return false;
    }
    errno = 0;
    const struct passwd *user = o->user[0] == '\0' ? getpwuid(geteuid()) : getpwnam(o->user);
    if (user == NULL || strlen(user->pw_name) >= SFTP_USER_MAX) {
        return err_set(e, ERR_INVALID_ARGUMENT, "SFTP_USER", "there is no such user for sftp");
    }
    if (geteuid() != 0 && user->pw_uid != geteuid()) {
        return err_set(e, ERR_INVALID_ARGUMENT, "SFTP_USER",
                       "without root, sftp works for the own user only");
    }
    (void)snprintf(s->user, sizeof(s->user), "%s", user->pw_name);
    (void)snprintf(s->config, sizeof(s->config), "%s/sshd_config", s->dir);
    (void)snprintf(s->log, sizeof(s->log), "%s/sshd.log", s->dir);
    (void)snprintf(s->pid_file, sizeof(s->pid_file), "%s/sshd.pid", s->dir);
    s->fixed_port = o->port != 0;
    s->port = o->port;
    if (!make_dir(s->dir, 0700, geteuid(), getegid(), e) || !make_folders(s, user, e)) {
        return false;
    }
    return !own_key || make_host_key(s->host_key, e);
}

// sshd refuses an account whose password is locked ('!'), as root's often is, even for a key; unless PAM decides. PAM in turn
// does not work in every container, so it is used only where it must be.
static bool needs_pam(const char *user) {
    const struct spwd *shadow = geteuid() == 0 ? getspnam(user) : NULL;
    return shadow != NULL && shadow->sp_pwdp != NULL && shadow->sp_pwdp[0] == '!';
}

bool sftp_write_config(const sftp *s, err *e) {
    FILE *f = fopen(s->config, "we");
    if (f == NULL) {
        return os_failed(e, "create", s->config);
    }
    (void)fprintf(
        f,
        "# Written by bank-sim at every start.\n"
        "Port %d\nListenAddress 127.0.0.1\nHostKey %s\nPidFile %s\nAuthorizedKeysFile %s\n"
        "AllowUsers %s\nPubkeyAuthentication yes\nPasswordAuthentication no\n"
        "KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nPermitEmptyPasswords "
        "no\n"
        "UsePAM %s\nUseDNS no\nStrictModes no\nDisableForwarding yes\nPermitTTY no\nPermitUserRC "
        "no\n"
        "PrintMotd no\nPrintLastLog no\nMaxStartups 100\nMaxSessions 16\nLoginGraceTime "
        "20\nLogLevel INFO\n"
        "Subsystem sftp internal-sftp -d %s\n",
        s->port, s->host_key, s->pid_file, s->authorized_key, s->user,
        needs_pam(s->user) ? "yes" : "no", s->root);
    if (s->relay[0] == '\0') {
        (void)fprintf(f, "ForceCommand internal-sftp -d %s\n", s->root);
    } else {
        (void)fprintf(f, "ForceCommand %s --sftp-session %s %s %s\n", s->relay, s->relay_state,
                      s->server, s->root);
    }
    bool failed = ferror(f) != 0;
    failed = fclose(f) != 0 || failed;
    return !failed || os_failed(e, "write", s->config);
}

bool sftp_free_port(int *port, err *e) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 &&
              getsockname(fd, (struct sockaddr *)&at, &len) == 0;
    ok = ok || os_failed(e, "bind", "127.0.0.1");
    if (fd >= 0) {
        (void)close(fd);
    }
    *port = ntohs(at.sin_port);
    return ok;
}
