# One layer of the library: a static library, its public header folder, and only downward links.
#   rooftune_add_layer(sim SOURCES ... HEADERS ... USES core domain PRIVATE_LIBRARIES TBB::tbb PUBLIC_LIBRARIES ...)
# The header file set is compiled header by header against the linked layers alone (target
# rooftune_<layer>_verify_interface_header_sets), so a header of a layer that is not linked cannot be included.
function(rooftune_add_layer name)
  cmake_parse_arguments(layer "" "" "SOURCES;HEADERS;USES;PUBLIC_LIBRARIES;PRIVATE_LIBRARIES" ${ARGN})
  set(target rooftune_${name})
  add_library(${target} STATIC)
  add_library(rooftune::${name} ALIAS ${target})
  list(TRANSFORM layer_SOURCES PREPEND src/)
  list(TRANSFORM layer_HEADERS PREPEND include/rooftune/${name}/)
  target_sources(${target} PRIVATE ${layer_SOURCES}
    PUBLIC FILE_SET HEADERS BASE_DIRS include FILES ${layer_HEADERS})
  list(TRANSFORM layer_USES PREPEND rooftune::)
  target_link_libraries(${target} PUBLIC ${layer_USES} ${layer_PUBLIC_LIBRARIES}
    PRIVATE rooftune_build_options ${layer_PRIVATE_LIBRARIES})
  target_compile_features(${target} PUBLIC cxx_std_20)
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${name} VERIFY_INTERFACE_HEADER_SETS ON)
  install(TARGETS ${target} EXPORT rooftuneTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
    FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
endfunction()
