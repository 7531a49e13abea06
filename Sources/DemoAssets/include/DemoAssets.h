// The demo model's files and the sample data, as bytes inside the program.

#ifndef DEMO_ASSETS_H
#define DEMO_ASSETS_H

#include <stddef.h>

/// A file inside the program.
typedef struct {
  /// The path under which it is unpacked, such as "model/config.json".
  const char *path;
  /// The bytes.
  const unsigned char *bytes;
  /// The number of bytes.
  size_t byteCount;
} DemoAsset;

/// The number of files.
size_t demo_asset_count(void);

/// The file at `index`, which is below demo_asset_count().
DemoAsset demo_asset(size_t index);

#endif
