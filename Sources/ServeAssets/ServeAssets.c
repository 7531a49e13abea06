// Embeds the page: the program needs no files beside it.

#include "ServeAssets.h"

static const unsigned char page[] = {
#embed "page.html"
};

const unsigned char *serve_page(void) { return page; }

size_t serve_page_byte_count(void) { return sizeof page; }
