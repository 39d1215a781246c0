# One layer of the library: a static library, its public header folder, and only downward links.
#   rooftune_add_layer(sim SOURCES ... HEADERS ... USES core domain PRIVATE_LIBRARIES TBB::tbb PUBLIC_LIBRARIES ... [GLUE])
# GLUE: compiled at a lower level of optimisation, for layers that read, write, print or put together what others compute.
# What keeps the layers apart:
#   - a layer uses only layers that were added before it; GLOBAL_DEPENDS_NO_CYCLES catches links made elsewhere
#   - each layer has its own include folder, so a header of a layer that is not linked does not exist for the compiler; the
#     header file set is also compiled header by header against the linked layers alone (all_verify_interface_header_sets)
# tests/cmake/ proves that each of these fails the build.
function(rooftune_add_layer name)
  cmake_parse_arguments(layer "GLUE" "" "SOURCES;HEADERS;USES;PUBLIC_LIBRARIES;PRIVATE_LIBRARIES" ${ARGN})
  if(layer_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "layer '${name}': unknown arguments ${layer_UNPARSED_ARGUMENTS}")
  endif()
  foreach(used IN LISTS layer_USES)
    if(NOT TARGET rooftune_${used})
      message(FATAL_ERROR "layer '${name}' uses '${used}', which is not below it (layers are added lowest first)")
    endif()
  endforeach()
  set(target rooftune_${name})
  add_library(${target} STATIC)
  add_library(rooftune::${name} ALIAS ${target})
  list(TRANSFORM layer_SOURCES PREPEND src/)
  list(TRANSFORM layer_HEADERS PREPEND include/rooftune/${name}/)
  target_sources(${target} PRIVATE ${layer_SOURCES}
    PUBLIC FILE_SET HEADERS BASE_DIRS include FILES ${layer_HEADERS})
  list(TRANSFORM layer_USES PREPEND rooftune::)
  # Our warnings and floating-point flags are ours alone: BUILD_INTERFACE keeps them out of the export.
  target_link_libraries(${target} PUBLIC ${layer_USES} ${layer_PUBLIC_LIBRARIES}
    PRIVATE $<BUILD_INTERFACE:rooftune_build_options> ${layer_PRIVATE_LIBRARIES})
  if(layer_GLUE)
    target_link_libraries(${target} PRIVATE $<BUILD_INTERFACE:rooftune_glue_options>)
  endif()
  target_compile_features(${target} PUBLIC cxx_std_20)
  # The Python module is a shared library of these. Hidden symbols cannot be replaced by another library's, so calls between them
  # cost what they cost in a program.
  if(ROOFTUNE_HAS_PYTHON)
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON CXX_VISIBILITY_PRESET hidden)
  endif()
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${name} VERIFY_INTERFACE_HEADER_SETS ON)
  set_property(GLOBAL APPEND PROPERTY ROOFTUNE_LAYERS ${name})
  install(TARGETS ${target} EXPORT rooftuneTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development
    FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development)
endfunction()
