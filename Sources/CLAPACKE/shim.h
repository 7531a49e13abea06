// The C interface of LAPACK.
#pragma once
#include <lapacke.h>
