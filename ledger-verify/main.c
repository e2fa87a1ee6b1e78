// ledger-verify: is this the journal that was signed?
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "ledger-verify/verify.h"

static const char USAGE[] =
    "ledger-verify --journal FILE --heads FILE --keys FILE\n"
    "\n"
    "Verifies the exported journal of a book against signed tree heads. Needs no database and no "
    "network.\n"
    "\n"
    "  --journal FILE  the rows, as ledger-export writes them\n"
    "  --heads FILE    the signed tree heads: your own copy of the sealer's heads file\n"
    "  --keys FILE     PEM public keys that have signed, the oldest first; the last one signs now\n"
    "\n"
    "Exit codes: 0 proven; 1 something is not what was signed (each finding names the sequence);\n"
    "2 wrong command line, or a file cannot be read; 3 nothing is wrong, but the last rows are not "
    "sealed yet.\n";

static FILE *open_file(const char *path) {
    FILE *f = path == NULL ? NULL : fopen(path, "re");
    if (path != NULL && f == NULL) {
        (void)fprintf(stderr, "ledger-verify: cannot read %s\n", path);
    }
    return f;
}

int main(int argc, char **argv) {
    static const struct option OPTIONS[] = {{"journal", required_argument, NULL, 'j'},
                                            {"heads", required_argument, NULL, 'h'},
                                            {"keys", required_argument, NULL, 'k'},
                                            {"help", no_argument, NULL, '?'},
                                            {NULL, 0, NULL, 0}};
    const char *journal = NULL, *heads = NULL, *keys_path = NULL;
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        (void)fputs(USAGE, stdout);
        return VERIFY_PROVEN;
    }
    for (int c; (c = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1;) {
        switch (c) {
        case 'j': journal = optarg; break;
        case 'h': heads = optarg; break;
        case 'k': keys_path = optarg; break;
        default: (void)fputs(USAGE, stderr); return VERIFY_UNREADABLE;
        }
    }
    if (journal == NULL || heads == NULL || keys_path == NULL || optind != argc) {
        (void)fputs(USAGE, stderr);
        return VERIFY_UNREADABLE;
    }
    head_keys keys;
    err e = {0};
    if (!head_keys_load(&keys, keys_path, &e)) {
        (void)fprintf(stderr, "ledger-verify: %s\n", e.message);
        return VERIFY_UNREADABLE;
    }
    verify_options o = {open_file(journal), open_file(heads), &keys, stdout};
    verify_outcome outcome = VERIFY_UNREADABLE;
    if (o.journal != NULL && o.heads != NULL) {
        outcome = verify_journal(&o);
    }
    if (o.journal != NULL) {
        (void)fclose(o.journal);
    }
    if (o.heads != NULL) {
        (void)fclose(o.heads);
    }
    return (int)outcome;
}
