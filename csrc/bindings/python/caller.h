/// Where a thread of Python stands, for <libgrad/record.h>.

#pragma once

#include <libgrad/record/origins.h>

#include <string>
#include <vector>

/// Code in these folders is that of libraries, below whose calls the user's
/// line is. Needs the GIL.
void set_libraries(std::vector<std::string> folders);

/// The innermost line of this thread that is not a library's; where there is no
/// such line the innermost one. With or without the GIL. `library` becomes the
/// innermost call, where that is a library's.
libgrad::detail::Place place_of_caller(const void** library);

/// "torch.nn.functional.relu" for a call that `place_of_caller` told of.
std::string name_of_library_call(const void* library);
