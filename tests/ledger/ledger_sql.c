// Prints every SQL string of ledger-svc as compiled, one per line, fields separated by tabs: "statement", its table, its name, the text.
// For tables written by COPY: "copy", the table, the number of columns, the columns. tests/operations/test_sql_portability.py reads this:
// PostgreSQL gets exactly these strings, and no statement of a table can be missing.
#include <stdio.h>
#include <string.h>

#include "audit/tree_statements.h"
#include "base/assert.h"
#include "store/list_statements.h"
#include "store/statements.h"

static void print_statements(const char *table, const db_stmt *statements, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const db_stmt *s = &statements[i];
        ASSERT(s->name != NULL && s->sql != NULL); // else a member of the enum has no text
        ASSERT(strpbrk(s->name, "\t\n") == NULL && strpbrk(s->sql, "\t\n") == NULL);
        (void)printf("statement\t%s\t%s\t%s\n", table, s->name, s->sql);
    }
}

static void print_copy(const char *table, int n_columns, const char *columns) {
    (void)printf("copy\t%s\t%d\t%s\n", table, n_columns, columns);
}

int main(void) {
    print_statements("STORE", STORE_STATEMENTS, STORE_STATEMENT_COUNT);
    print_statements("LIST", LIST_STATEMENTS, LIST_STATEMENT_COUNT);
    print_statements("TREE", TREE_STATEMENTS, TREE_STATEMENT_COUNT);
    const store_copy_target *const targets[] = {
        &STORE_COPY_ACCOUNT, &STORE_COPY_ACCOUNT_METADATA,  &STORE_COPY_TRANSFER,
        &STORE_COPY_BURNED,  &STORE_COPY_TRANSFER_METADATA, &STORE_COPY_POSTING,
    };
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        print_copy(targets[i]->table, targets[i]->n_columns, targets[i]->columns);
    }
    print_copy(TREE_NODE_TABLE, TREE_NODE_N_COLUMNS, TREE_NODE_COLUMNS);
    return fflush(stdout) == 0 ? 0 : 1;
}
