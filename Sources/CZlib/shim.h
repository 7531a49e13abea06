// zlib's interface, version 1.2.3.4 or later, and its macro inflateInit2, which Swift does not see.
#pragma once
#include <zlib.h>

/// Makes `stream` ready to unpack gzip data, and nothing else.
static inline int qwen_sft_inflate_init(z_stream *stream) {
  return inflateInit2(stream, MAX_WBITS + 16);
}
