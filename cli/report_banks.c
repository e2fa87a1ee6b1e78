// payctl report: which bank is behind which connection.
#include <stdio.h>
#include <string.h>

#include "cli/report.h"
#include "payments/v1/connection_service.pb-c.h"

static bool bad_list(const char *list, err *e) {
    return err_set(e, ERR_INVALID_ARGUMENT, "BANK_INVALID",
                   "\"%s\" names no banks: want HOST:PORT, or NAME=HOST:PORT for each connection "
                   "of another bank, with commas between",
                   list);
}

// The index of the bank at this address; -1 when there are too many.
static int bank_at(report_banks *b, const char *address) {
    for (size_t i = 0; i < b->n; i++) {
        if (strcmp(b->list[i].address, address) == 0) {
            return (int)i;
        }
    }
    if (b->n == REPORT_BANKS_MAX) {
        return -1;
    }
    b->list[b->n] = (report_bank){.address = address, .transit_empty = true};
    return (int)b->n++;
}

static bool take(report_banks *b, const char *list, char *word, err *e) {
    char *equals = strchr(word, '=');
    const char *address = equals == NULL ? word : equals + 1;
    if (strchr(address, ':') == NULL || equals == word) {
        return bad_list(list, e);
    }
    const int bank = bank_at(b, address);
    if (bank < 0 || b->n_named == REPORT_CONNECTIONS_MAX) {
        return err_set(e, ERR_INVALID_ARGUMENT, "BANK_INVALID", "too many banks are named");
    }
    if (equals == NULL) {
        const bool first = b->all < 0;
        b->all = bank;
        return first || bad_list(list, e);
    }
    *equals = '\0';
    for (size_t i = 0; i < b->n_named; i++) {
        if (strcmp(b->named[i].name, word) == 0) {
            return bad_list(list, e);
        }
    }
    b->named[b->n_named++] = (report_connection){.name = word, .bank_account = "", .bank = bank};
    return true;
}

bool report_banks_read(cli *c, const char *list, report_banks *b, err *e) {
    *b = (report_banks){.all = -1};
    if (list == NULL || list[0] == '\0') {
        return err_set(e, ERR_INVALID_ARGUMENT, "NOT_CONFIGURED",
                       "no address of the bank: set PAYCTL_BANK or give --bank");
    }
    char *copy = arena_strdup(c->arena, list), *left = NULL;
    if (copy == NULL) {
        return bad_list(list, e);
    }
    for (char *word = strtok_r(copy, ",", &left); word != NULL; word = strtok_r(NULL, ",", &left)) {
        if (!take(b, list, word, e)) {
            return false;
        }
    }
    return b->n > 0 || bad_list(list, e);
}

static report_connection *known(cli *c, report_banks *b, const char *name, err *e) {
    for (size_t i = 0; i < b->n_known; i++) {
        if (strcmp(b->known[i].name, name) == 0) {
            return &b->known[i];
        }
    }
    const char *kept = arena_strdup(c->arena, name);
    if (b->n_known == REPORT_CONNECTIONS_MAX || kept == NULL) {
        err_set(e, ERR_OUT_OF_RANGE, "TOO_MANY_LINES", "there are too many connections");
        return NULL;
    }
    report_connection *k = &b->known[b->n_known++];
    *k = (report_connection){.name = kept, .bank_account = "", .bank = b->all};
    for (size_t i = 0; i < b->n_named; i++) {
        if (strcmp(b->named[i].name, name) == 0) {
            k->bank = b->named[i].bank;
        }
    }
    return k;
}

const report_connection *report_connection_of(cli *c, report_banks *b, const char *name, err *e) {
    return known(c, b, name, e);
}

bool report_banks_ask(cli *c, report_banks *b, err *e) {
    Payments__V1__GetCapabilitiesRequest request = PAYMENTS__V1__GET_CAPABILITIES_REQUEST__INIT;
    ProtobufCMessage *answer = NULL;
    if (!cli_call(c, "payments.v1.ConnectionService", "GetCapabilities", &request.base,
                  &payments__v1__get_capabilities_response__descriptor, &answer, e)) {
        return false;
    }
    const Payments__V1__GetCapabilitiesResponse *r =
        (const Payments__V1__GetCapabilitiesResponse *)answer;
    for (size_t i = 0; i < r->n_capabilities; i++) {
        report_connection *k = known(c, b, r->capabilities[i]->connection, e);
        if (k == NULL) {
            return false;
        }
        k->bank_account = r->capabilities[i]->bank_account;
    }
    return true;
}

static bool went_through(const report *r, const char *connection) {
    for (size_t i = 0; i < r->n_flows; i++) {
        if (strcmp(r->flows[i].connection, connection) == 0) {
            return true;
        }
    }
    return false;
}

const char *report_connections_text(const report *r, int bank) {
    const char *text = "";
    for (size_t i = 0; i < r->banks.n_known; i++) {
        const report_connection *k = &r->banks.known[i];
        if (k->bank == bank && went_through(r, k->name)) {
            text = arena_printf(r->c->arena, "%s%s%s", text, text[0] == '\0' ? "" : ", ", k->name);
        }
    }
    return text;
}

bool report_bank_agrees(const report_bank *b) {
    return b->differences == 0 && b->transit_empty;
}

bool report_all_compared(const report *r) {
    return report_connections_text(r, -1)[0] == '\0';
}
