// A case as text: for a person who looks for the fault, and for programs that play the case to a real service.
#ifndef LEDGER_SCRIPT_H
#define LEDGER_SCRIPT_H

#include <stdio.h>

#include "generate.h"

// One line per event, with only the given fields.
void script_print(const ledger_case *c, FILE *out);
// One JSON object per line: each step with its expected results, then the book as it must be at the end.
void script_print_json(const ledger_case *c, FILE *out);

#endif
