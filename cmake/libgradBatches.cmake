# How many compilations the extension is built by. Reading the headers of torch and pybind11 takes
# ten times as long as a file of ours, so the first build reads them once a core:
#
#   LIBGRAD_BATCHES=2  two compilations of half of the files each: the least work
#   LIBGRAD_BATCHES=0  one for each file, with the headers precompiled: for changing one of them
#
# An editable install takes 0, every other build a batch for each core.
if(NOT DEFINED LIBGRAD_BATCHES AND SKBUILD_STATE STREQUAL "editable")
  set(LIBGRAD_BATCHES 0)
elseif(NOT DEFINED LIBGRAD_BATCHES)
  cmake_host_system_information(RESULT LIBGRAD_BATCHES QUERY NUMBER_OF_LOGICAL_CORES)
  if(LIBGRAD_BATCHES LESS 2)
    set(LIBGRAD_BATCHES 2) # a batch of half of the files takes 2 to 3 GB of memory
  elseif(LIBGRAD_BATCHES GREATER 8)
    set(LIBGRAD_BATCHES 8)
  endif()
endif()

# Compiles `sources` of `target` in `count` batches: neighbours share headers of ours, too.
function(libgrad_compile_in_batches target count)
  set(sources ${ARGN})
  list(LENGTH sources length)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
  set(i 0)
  foreach(source IN LISTS sources)
    math(EXPR batch "${i} * ${count} / ${length}")
    set_source_files_properties(${source} PROPERTIES UNITY_GROUP "${batch}")
    math(EXPR i "${i} + 1")
  endforeach()
endfunction()
