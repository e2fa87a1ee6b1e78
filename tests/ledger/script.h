// A case as text: for a person who looks for the fault, and for programs that play it to a real service.
#ifndef LEDGER_SCRIPT_H
#define LEDGER_SCRIPT_H

#include <stdio.h>

#include "generate.h"

// One line an event, only the fields that are given.
void script_print(const ledger_case *c, FILE *out);
// One JSON object a line: each step with what must come of it, then the book as it must be in the end.
void script_print_json(const ledger_case *c, FILE *out);

#endif
