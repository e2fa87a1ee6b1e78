#include "books/books.h"

// clang-format off
static const config_setting ROWS[] = {
    CONFIG_ROW(books_settings, "books.count", CONFIG_INT, count, "4", 1, 1000, "ledger books that new merchants are spread over"),
};
// clang-format on

const config_part BOOKS_SETTINGS = CONFIG_PART(ROWS);
