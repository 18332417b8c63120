/// libgrad/torch/saved/table.h -- the tensors that LibTorch's nodes save, for
/// the torch that is compiled with.
///
/// Relies on (covered by tests/package/test_cmake.py): the nodes are declared
/// alike in all releases of a minor version. CMake makes a header for each,
/// table_MAJOR_MINOR.h, from torch's declarations.

#pragma once

#include <torch/headeronly/version.h>

// clang-format off: what is quoted may have no spaces
#define LIBGRAD_QUOTED_(name) #name
#define LIBGRAD_QUOTED(name) LIBGRAD_QUOTED_(name)
#define LIBGRAD_NAME_(major, minor) table_##major##_##minor.h
#define LIBGRAD_NAME(major, minor) LIBGRAD_NAME_(major, minor)
#define LIBGRAD_TABLE LIBGRAD_QUOTED( \
    libgrad/torch/saved/LIBGRAD_NAME(TORCH_VERSION_MAJOR, TORCH_VERSION_MINOR))
// clang-format on

#if __has_include(LIBGRAD_TABLE)
#include LIBGRAD_TABLE
#else
static_assert(
    false,
    "libgrad was installed without " LIBGRAD_TABLE
    ", which this torch needs: find_package(libgrad) of CMake makes it; or "
    "install libgrad for this torch");
#endif

#undef LIBGRAD_TABLE
#undef LIBGRAD_NAME
#undef LIBGRAD_NAME_
#undef LIBGRAD_QUOTED
#undef LIBGRAD_QUOTED_
