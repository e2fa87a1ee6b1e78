// The program's controls, in their order. A new control is a folder and a line of controls.def; a test build has its own list.
#include "control/control.h"

#ifndef CONTROLS_LIST
#define CONTROLS_LIST "control/controls.def"
#endif

#define CONTROL(name) extern const control name;
#include CONTROLS_LIST
#undef CONTROL

static const control *const TABLE[] = {
#define CONTROL(name) &name,
#include CONTROLS_LIST
#undef CONTROL
};

controls controls_table(void) {
    return (controls){TABLE, sizeof TABLE / sizeof TABLE[0]};
}
