# Which tensors the nodes of LibTorch's own operators save, as a C++ header: a table made from
# the declarations of one torch, for <libgrad/torch/saved/table.h>.
#
# libgrad_write_saved_table(folder) writes folder/libgrad/torch/saved/table_MAJOR_MINOR.h for the
# torch that libgradTorch.cmake found.
function(libgrad_write_saved_table folder)
  set(torch_minor "${libgrad_TORCH_MINOR}")
  set(declarations "${libgrad_TORCH_DIR}/include/torch/csrc/autograd/generated/Functions.h")
  string(REPLACE "." "_" name "table_${torch_minor}")
  set(name "${name}.h")
  set(out "${folder}/libgrad/torch/saved/${name}")
  file(STRINGS "${declarations}" lines
    REGEX "^struct TORCH_API [A-Za-z0-9_]+ : public |^ +(std::vector<)?SavedVariable>? [A-Za-z0-9_]+;")
  string(REPLACE "." " && TORCH_VERSION_MINOR == " version "TORCH_VERSION_MAJOR == ${torch_minor}")
  set(fields "")
  set(nodes "")
  set(count 0)  # of fields before the node's
  set(name "")
  foreach(line IN LISTS lines ITEMS "struct TORCH_API end : public ")
    if(line MATCHES "^struct TORCH_API ([A-Za-z0-9_]+) : public ")
      if(name)
        string(APPEND nodes
          "    {&typeid(generated::${name}), \"${name}\", ${first}, ${count}},\n")
      endif()
      set(name "${CMAKE_MATCH_1}")
      set(first ${count})
    elseif(line MATCHES "^ +(std::vector<)?SavedVariable>? ([A-Za-z0-9_]+);")
      set(list "${CMAKE_MATCH_1}")
      set(member "&generated::${name}::${CMAKE_MATCH_2}")
      string(REGEX REPLACE "_$" "" word "${CMAKE_MATCH_2}")
      if(list)
        string(APPEND fields "    saved_list(\"${word}\", ${member}, ${member}released_),\n")
      else()
        string(APPEND fields "    saved_one(\"${word}\", ${member}),\n")
      endif()
      math(EXPR count "${count} + 1")
    endif()
  endforeach()
  if(count EQUAL 0)
    message(FATAL_ERROR "libgrad: ${declarations} declares no node that saves a tensor; torch "
      "${torch_minor} is none that libgrad knows")
  endif()
  file(GLOB earlier "${folder}/libgrad/torch/saved/table*.h") # of another torch
  list(REMOVE_ITEM earlier "${out}")
  if(earlier)
    file(REMOVE ${earlier})
  endif()
  file(WRITE "${out}.new" "\
/// libgrad/torch/saved/${name} -- the tensors that LibTorch's nodes save.
/// Made by CMake from torch/csrc/autograd/generated/Functions.h of torch ${torch_minor}.

#pragma once

#include <libgrad/torch/saved/variable.h>

#include <torch/csrc/autograd/generated/Functions.h>
#include <torch/headeronly/version.h>

#if !(${version})
#error \"${name} is for torch ${torch_minor}: include <libgrad/torch/saved/table.h>\"
#endif

namespace libgrad::detail {

namespace generated = torch::autograd::generated;

inline constexpr SavedField kSavedFields[] = {
${fields}};

inline constexpr OperatorNode kOperatorNodes[] = {
${nodes}};

}  // namespace libgrad::detail
")
  configure_file("${out}.new" "${out}" COPYONLY)  # which leaves an equal one as it is
endfunction()

# Alone: cmake -D libgrad_TORCH_DIR=... -D libgrad_TORCH_MINOR=X.Y -D OUT=... -P this file
if(CMAKE_SCRIPT_MODE_FILE STREQUAL CMAKE_CURRENT_LIST_FILE)
  libgrad_write_saved_table("${OUT}")
endif()
