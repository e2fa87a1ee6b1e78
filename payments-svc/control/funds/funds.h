#ifndef CONTROL_FUNDS_H
#define CONTROL_FUNDS_H

#include "control/control.h"

extern const control CONTROL_FUNDS;

#endif
