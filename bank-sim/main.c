// bank-sim: a bank to pay against. Runs in the foreground until SIGTERM or SIGINT.
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ach/ach.h"
#include "ach/nacha.h"
#include "admin/admin.h"
#include "base/clock.h"
#include "base/log.h"
#include "books/books.h"
#include "instant/instant.h"
#include "settings.h"
#include "sftp/relay.h"
#include "sftp/sftp.h"

enum { EXIT_USAGE = 2, PATH_SIZE = 1024, SECRET_MAX = 4096 };

typedef struct bank {
    settings s;
    char dir[PATH_SIZE], books_path[PATH_SIZE + 32], root[PATH_SIZE + 32], spool[PATH_SIZE + 32],
        sshd_dir[PATH_SIZE + 32], who_path[PATH_SIZE + 32], habits_path[PATH_SIZE + 32],
        program[PATH_SIZE];
    char *api_key, *webhook_secret;
    size_t api_key_len, webhook_secret_len;
    int lock_fd; // held open until the end of the process
    books *books;
    faults *faults;
    habits *habits;
    who *who;
    sftp *sftp;
    ach *ach;
    instant *instant;
    admin *admin;
} bank;

static bool os_failed(err *e, const char *what, const char *path) {
    int why = errno;
    return err_set(e, ERR_UNAVAILABLE, "BANK_DIR", "cannot %s %.100s: %s", what, path,
                   strerror(why));
}

static bool make_dir(const char *path, err *e) {
    return mkdir(path, 0700) == 0 || errno == EEXIST || os_failed(e, "make the folder", path);
}

// Two banks on one folder would take each file twice, so the folder is locked.
static bool lock_dir(bank *b, err *e) {
    char path[PATH_SIZE + 32];
    (void)snprintf(path, sizeof(path), "%s/lock", b->dir);
    b->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (b->lock_fd < 0) {
        return os_failed(e, "open", path);
    }
    return flock(b->lock_fd, LOCK_EX | LOCK_NB) == 0 ||
           err_set(e, ERR_FAILED_PRECONDITION, "BANK_DIR", "another bank works in this folder");
}

static bool prepare(bank *b, err *e) {
    str routing = str_of(b->s.routing);
    log_level level = LOG_INFO;
    if (!log_level_parse(b->s.log_level, &level)) {
        return err_set(e, ERR_INVALID_ARGUMENT, "SETTING",
                       "log.level must be debug, info, warn or error");
    }
    log_set_level(level);
    if (!nacha_is_routing(routing)) {
        return err_set(e, ERR_INVALID_ARGUMENT, "SETTING",
                       "ach.routing must be nine digits with a right check digit");
    }
    if (!make_dir(b->s.dir, e)) {
        return false;
    }
    char *real = realpath(b->s.dir, NULL);
    if (real == NULL || strlen(real) >= PATH_SIZE) {
        free(real);
        return os_failed(e, "resolve", b->s.dir);
    }
    (void)snprintf(b->dir, sizeof(b->dir), "%s", real);
    free(real);
    (void)snprintf(b->books_path, sizeof(b->books_path), "%s/bank.db", b->dir);
    (void)snprintf(b->root, sizeof(b->root), "%s/sftp", b->dir);
    (void)snprintf(b->spool, sizeof(b->spool), "%s/spool", b->dir);
    (void)snprintf(b->sshd_dir, sizeof(b->sshd_dir), "%s/sshd", b->dir);
    (void)snprintf(b->who_path, sizeof(b->who_path), "%s/who_key", b->dir);
    (void)snprintf(b->habits_path, sizeof(b->habits_path), "%s/sftp_habits", b->dir);
    // A separate session user must be able to reach its folder.
    if (chmod(b->dir, b->s.sftp_user[0] == '\0' ? 0700 : 0711) != 0) {
        return os_failed(e, "set the mode of", b->dir);
    }
    return lock_dir(b, e) && make_dir(b->spool, e) &&
           config_read_secret(b->s.api_key_file, SECRET_MAX, &b->api_key, &b->api_key_len, e) &&
           config_read_secret(b->s.webhook_secret_file, SECRET_MAX, &b->webhook_secret,
                              &b->webhook_secret_len, e);
}

// Finds our own program file: sshd starts it for each session.
static bool find_program(bank *b, err *e) {
    ssize_t n = readlink("/proc/self/exe", b->program, sizeof(b->program) - 1);
    if (n < 0) {
        return os_failed(e, "read", "/proc/self/exe");
    }
    b->program[n] = '\0';
    return true;
}

static bool start_habits(bank *b, err *e) {
    // the check compares the file server's habits with the relay setting
    static const habits_config KIND;
    habits_shared *shared = NULL;
    if (b->s.sftp_relay) {
        shared = habits_shared_map(b->habits_path, true, e);
        if (shared == NULL || !find_program(b, e)) {
            return false;
        }
    }
    b->habits = habits_create(&KIND, shared);
    return habits_replace(b->habits, &b->s.habits, e);
}

static bool start_sftp(bank *b, err *e) {
    sftp_options o = {.sshd = b->s.sshd,
                      .port = (int)b->s.sftp_port,
                      .dir = b->sshd_dir,
                      .root = b->root,
                      .host_key_file = b->s.host_key_file,
                      .authorized_key_file = b->s.authorized_key_file,
                      .user = b->s.sftp_user,
                      .relay = b->program,
                      .relay_state = b->habits_path,
                      .server = b->s.sftp_server};
    b->sftp = sftp_start(&o, e);
    return b->sftp != NULL;
}

static bool start_rails(bank *b, err *e) {
    ach_options ach_o = {.books = b->books,
                         .faults = b->faults,
                         .habits = b->habits,
                         .who = b->who,
                         .clock = clock_system(),
                         .root = b->root,
                         .spool = b->spool,
                         .routing = b->s.routing,
                         .origins_prefix = b->s.origins_prefix,
                         .poll_ms = b->s.ach_poll_ms,
                         .settle_delay_ms = b->s.ach_settle_delay_ms,
                         .return_delay_ms = b->s.ach_return_delay_ms};
    instant_options instant_o = {.books = b->books,
                                 .faults = b->faults,
                                 .habits = b->habits,
                                 .who = b->who,
                                 .clock = clock_system(),
                                 .port = (int)b->s.https_port,
                                 .cert_file = b->s.cert_file,
                                 .key_file = b->s.key_file,
                                 .threads = (int)b->s.https_threads,
                                 .api_key = {b->api_key, b->api_key_len},
                                 .webhook_secret = {b->webhook_secret, b->webhook_secret_len},
                                 .webhook_url = b->s.webhook_url,
                                 .ca_file = b->s.ca_file,
                                 .sync_settle = b->s.sync_settle,
                                 .webhook_on_refusal = b->s.webhook_on_refusal,
                                 .settle_delay_ms = b->s.instant_settle_delay_ms,
                                 .return_delay_ms = b->s.instant_return_delay_ms,
                                 .amount_max = b->s.instant_amount_max};
    b->ach = ach_start(&ach_o, e);
    if (b->ach == NULL) {
        return false;
    }
    b->instant = instant_start(&instant_o, e);
    if (b->instant == NULL) {
        return false;
    }
    admin_options admin_o = {.books = b->books,
                             .faults = b->faults,
                             .habits = b->habits,
                             .who = b->who,
                             .ach = b->ach,
                             .instant = b->instant,
                             .port = (int)b->s.admin_port};
    b->admin = admin_start(&admin_o, e);
    return b->admin != NULL;
}

static bool start(bank *b, err *e) {
    if (!prepare(b, e)) {
        return false;
    }
    b->faults = faults_create(&b->s.faults);
    b->who = who_open(b->who_path, e);
    b->books = b->who != NULL && start_habits(b, e) ? books_open(b->books_path, e) : NULL;
    // sshd first: it makes the folders that the ACH room works in.
    return b->books != NULL && start_sftp(b, e) && start_rails(b, e);
}

static bool write_ready_file(const bank *b, err *e) {
    char temporary[PATH_SIZE + 32];
    if (b->s.ready_file[0] == '\0') {
        return true;
    }
    int n = snprintf(temporary, sizeof(temporary), "%s.%ld.tmp", b->s.ready_file, (long)getpid());
    FILE *f = n > 0 && n < (int)sizeof(temporary) ? fopen(temporary, "we") : NULL;
    if (f == NULL) {
        return os_failed(e, "write", b->s.ready_file);
    }
    (void)fprintf(f, "{\"pid\":%ld,\"https_port\":%d,\"sftp_port\":%d,\"admin_port\":%d}\n",
                  (long)getpid(), instant_port(b->instant), sftp_port(b->sftp),
                  admin_port(b->admin));
    bool failed = ferror(f) != 0;
    failed = fclose(f) != 0 || failed;
    return (!failed && rename(temporary, b->s.ready_file) == 0) ||
           os_failed(e, "write", b->s.ready_file);
}

static void stop(bank *b) {
    if (b->s.ready_file != NULL && b->s.ready_file[0] != '\0' && b->admin != NULL) {
        (void)unlink(b->s.ready_file);
    }
    admin_stop(b->admin);
    instant_stop(b->instant);
    sftp_stop(b->sftp);
    ach_stop(b->ach);
    books_close(b->books);
    faults_destroy(b->faults);
    habits_destroy(b->habits);
    who_close(b->who);
    config_wipe(b->api_key, b->api_key_len);
    config_wipe(b->webhook_secret, b->webhook_secret_len);
}

static int run(bank *b, const sigset_t *signals) {
    err e = {0};
    int received = 0;
    bool ok = start(b, &e) && write_ready_file(b, &e);
    if (ok) {
        log_info("bank.ready", F_INT("https_port", instant_port(b->instant)),
                 F_INT("sftp_port", sftp_port(b->sftp)), F_INT("admin_port", admin_port(b->admin)));
        (void)sigwait(signals, &received);
        log_info("bank.stopping", F_INT("signal", received));
    } else {
        log_err(LOG_ERROR, "bank.start_failed", &e);
        (void)fprintf(stderr, "bank-sim: %s\n", e.message);
    }
    stop(b);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

static bool is_readable(const char *setting, const char *path, err *e) {
    return path[0] == '\0' || access(path, R_OK) == 0 ||
           err_set(e, ERR_FAILED_PRECONDITION, "BAD_SETTING", "%s: cannot read %.150s", setting,
                   path);
}

// Checks only what the bank is given: it makes all other files itself.
static int check(bank *b) {
    const settings *s = &b->s;
    err e = {0};
    const bool ok =
        config_read_secret(s->api_key_file, SECRET_MAX, &b->api_key, &b->api_key_len, &e) &&
        config_read_secret(s->webhook_secret_file, SECRET_MAX, &b->webhook_secret,
                           &b->webhook_secret_len, &e) &&
        is_readable("https.cert_file", s->cert_file, &e) &&
        is_readable("https.key_file", s->key_file, &e) &&
        is_readable("https.ca_file", s->ca_file, &e) &&
        is_readable("sftp.host_key_file", s->host_key_file, &e) &&
        is_readable("sftp.authorized_key_file", s->authorized_key_file, &e);
    config_wipe(b->api_key, b->api_key_len);
    config_wipe(b->webhook_secret, b->webhook_secret_len);
    if (!ok) {
        (void)fprintf(stderr, "bank-sim: %s\n", e.message);
        return EXIT_USAGE;
    }
    (void)printf("bank-sim: the settings and the files that they name can be used\n");
    return EXIT_SUCCESS;
}

static void usage(FILE *out) {
    (void)fprintf(
        out,
        "bank-sim: a bank to pay against: ACH files over SFTP, instant payments over HTTPS.\n\n"
        "  bank-sim [--config FILE]       run in the foreground until SIGTERM\n"
        "  bank-sim --check               open every file that the settings name, start nothing, "
        "and "
        "end\n"
        "  bank-sim --print-config        the settings in force, as a settings file\n"
        "  bank-sim --print-config-markdown  the documentation of the settings\n"
        "  bank-sim --help | --version\n\n"
        "Faults (of single items) and habits (of the whole bank) can be changed while it runs:\n"
        "POST /admin/faults, POST /admin/habits; bank-sim/README.md says what each amount asks "
        "for.\n\n"
        "Settings, from the file and the environment:\n\n");
    config_print_help(&SETTINGS_TABLE, out);
}

typedef struct command {
    const char *config;
    bool print, markdown, check, help, version, bad;
} command;

static command parse(int argc, char **argv) {
    static const struct option OPTIONS[] = {{"config", required_argument, NULL, 'c'},
                                            {"print-config", no_argument, NULL, 'p'},
                                            {"print-config-markdown", no_argument, NULL, 'm'},
                                            {"check", no_argument, NULL, 'k'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"version", no_argument, NULL, 'v'},
                                            {NULL, 0, NULL, 0}};
    command c = {0};
    for (int option = 0; (option = getopt_long(argc, argv, "c:h", OPTIONS, NULL)) != -1;) {
        switch (option) {
        case 'c': c.config = optarg; break;
        case 'p': c.print = true; break;
        case 'k': c.check = true; break;
        case 'm': c.markdown = true; break;
        case 'h': c.help = true; break;
        case 'v': c.version = true; break;
        default: c.bad = true; break;
        }
    }
    c.bad = c.bad || optind < argc;
    return c;
}

// Runs a session for sshd: bank-sim --sftp-session HABITS SERVER ROOT
static int session(char **argv) {
    err e = {0};
    habits_shared *shared = habits_shared_map(argv[0], false, &e);
    if (shared == NULL) {
        (void)fprintf(stderr, "bank-sim: %s\n", e.message);
        return EXIT_FAILURE;
    }
    return relay_run(shared, argv[1], argv[2]);
}

int main(int argc, char **argv) {
    static bank b;
    err e = {0};
    if (argc == 5 && strcmp(argv[1], "--sftp-session") == 0) {
        return session(argv + 2);
    }
    command c = parse(argc, argv);
    if (c.bad || c.help) {
        usage(c.bad ? stderr : stdout);
        return c.bad ? EXIT_USAGE : EXIT_SUCCESS;
    }
    if (c.version) {
        (void)printf("bank-sim 0.1.0\n");
        return EXIT_SUCCESS;
    }
    if (c.markdown) {
        config_print_markdown(&SETTINGS_TABLE, stdout);
        return EXIT_SUCCESS;
    }
    log_init("bank-sim", LOG_INFO);
    if (!config_load(&SETTINGS_TABLE, c.config, &b.s, &e)) {
        (void)fprintf(stderr, "bank-sim: %s\n", e.message);
        return EXIT_USAGE;
    }
    if (c.print) {
        config_print(&SETTINGS_TABLE, &b.s, stdout);
        return EXIT_SUCCESS;
    }
    if (c.check) {
        return check(&b);
    }
    (void)umask(077);
    // Blocks the signals before the first thread starts, so that all threads leave them to the main thread.
    sigset_t signals;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    return run(&b, &signals);
}
