// The CBLAS interface of OpenBLAS, plus its own thread and kernel queries (both are in cblas.h).
#pragma once
#include <cblas.h>
