// The chat page of the server, as bytes inside the program.

#ifndef SERVE_ASSETS_H
#define SERVE_ASSETS_H

#include <stddef.h>

/// The bytes of the page.
const unsigned char *serve_page(void);

/// The number of bytes.
size_t serve_page_byte_count(void);

#endif
