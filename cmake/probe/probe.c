// Has something for each flag to harden: a buffer on the stack, and a copy whose length only the run knows.
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
    char text[64];
    const char *from = argv[argc - 1];
    memcpy(text, from, strnlen(from, sizeof text));
    return printf("%.*s\n", (int)sizeof text, text) > 0 ? 0 : 1;
}
