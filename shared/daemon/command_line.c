#include <string.h>

#include "daemon/daemon_internal.h"

static bool set_command(command_line *out, daemon_command command, const char *word, err *e) {
    if (out->command != COMMAND_RUN) {
        return err_set(e, ERR_INVALID_ARGUMENT, "COMMAND_LINE", "%.40s: there is a command already",
                       word);
    }
    out->command = command;
    return true;
}

static bool set_config_file(command_line *out, const char *file, err *e) {
    if (file == NULL || file[0] == '\0') {
        return err_set(e, ERR_INVALID_ARGUMENT, "COMMAND_LINE", "--config needs a file");
    }
    if (out->config_file != NULL) {
        return err_set(e, ERR_INVALID_ARGUMENT, "COMMAND_LINE", "--config is given twice");
    }
    out->config_file = file;
    return true;
}

bool command_line_parse(int argc, char **argv, command_line *out, err *e) {
    static const struct {
        const char *word;
        daemon_command command;
    } WORDS[] = {
        {"migrate", COMMAND_MIGRATE}, {"--print-config", COMMAND_PRINT_CONFIG},
        {"--check", COMMAND_CHECK},   {"--print-config-markdown", COMMAND_PRINT_MARKDOWN},
        {"--help", COMMAND_HELP},     {"--version", COMMAND_VERSION},
    };
    static const char CONFIG_IS[] = "--config=";
    *out = (command_line){.command = COMMAND_RUN};
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        bool known = false;
        for (size_t k = 0; k < sizeof(WORDS) / sizeof(WORDS[0]); k++) {
            if (strcmp(word, WORDS[k].word) == 0) {
                known = true;
                if (!set_command(out, WORDS[k].command, word, e)) {
                    return false;
                }
            }
        }
        bool ok = true;
        if (strcmp(word, "--config") == 0) {
            ok = set_config_file(out, i + 1 < argc ? argv[++i] : NULL, e);
        } else if (strncmp(word, CONFIG_IS, sizeof(CONFIG_IS) - 1) == 0) {
            ok = set_config_file(out, word + sizeof(CONFIG_IS) - 1, e);
        } else if (!known) {
            ok =
                err_set(e, ERR_INVALID_ARGUMENT, "COMMAND_LINE", "what is %.60s? try --help", word);
        }
        if (!ok) {
            return false;
        }
    }
    return true;
}

bool command_line_own(int argc, char **argv, const char **config_file, int *n_words, bool *help,
                      err *e) {
    command_line line = {.command = COMMAND_RUN};
    *n_words = 0;
    *help = false;
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            *help = true;
        } else if (strcmp(argv[i], "--config") == 0) {
            if (!set_config_file(&line, i + 1 < argc ? argv[++i] : NULL, e)) {
                return false;
            }
        } else if (strncmp(argv[i], "--config=", strlen("--config=")) == 0) {
            if (!set_config_file(&line, argv[i] + strlen("--config="), e)) {
                return false;
            }
        } else {
            argv[2 + (*n_words)++] = argv[i]; // never beyond i
        }
    }
    *config_file = line.config_file;
    return true;
}

void command_line_print_help(const daemon_program *p, FILE *out) {
    char own[200] = "";
    if (p->command.word != NULL) {
        (void)snprintf(own, sizeof(own), "  %s %-7s --config FILE   %s\n", p->name, p->command.word,
                       p->command.summary);
    }
    fprintf(
        out,
        "%s: %s\n\n"
        "  %s --config FILE            run until SIGTERM or SIGINT; SIGHUP reads policy and "
        "certificate again\n"
        "  %s migrate --config FILE    bring the database's schema up to date, and end\n"
        "%s"
        "  %s --check --config FILE    open every file that the settings name, start nothing, and "
        "end\n"
        "  %s --print-config           print the settings as they are read now, as a file\n"
        "  %s --print-config-markdown  print the documentation of the settings\n"
        "  %s --help | --version\n\n"
        "Exit code: 0 stopped as asked, 1 could not start, 2 wrong command line or setting.\n"
        "Settings, each from its default, then the file, then the environment:\n\n",
        p->name, p->summary, p->name, p->name, own, p->name, p->name, p->name, p->name);
    config_print_help(p->config, out);
}
