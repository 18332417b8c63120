/// The line of the program that a Python thread is at, for <libgrad/record.h>.

#pragma once

#include <libgrad/record/origins.h>

#include <string>
#include <vector>

/// Sets the folders whose code belongs to libraries. Needs the GIL.
void set_libraries(std::vector<std::string> folders);

/// The innermost line of this thread that is not a library's; the innermost
/// line of all if there is none. With or without the GIL. Unless `library` is
/// null, sets `*library` to the innermost call if that is a library's, else to
/// null.
libgrad::detail::Place place_of_caller(const void** library);

/// "torch.nn.functional.relu", for a call that `place_of_caller` found.
std::string name_of_library_call(const void* library);
