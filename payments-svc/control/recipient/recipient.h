#ifndef CONTROL_RECIPIENT_H
#define CONTROL_RECIPIENT_H

#include "control/control.h"

extern const control CONTROL_RECIPIENT;

#endif
