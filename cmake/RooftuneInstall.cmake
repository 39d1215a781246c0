# What `cmake --install` puts where, and the package that find_package(rooftune) reads. Three components: `program` with its data,
# `development`, what a program that links the library needs, and `python` (python/CMakeLists.txt).
include(CMakePackageConfigHelpers)

# rooftune::all is every layer at once, for programs that do not care.
get_property(rooftune_layers GLOBAL PROPERTY ROOFTUNE_LAYERS)
list(TRANSFORM rooftune_layers PREPEND rooftune:: OUTPUT_VARIABLE rooftune_layer_targets)
add_library(rooftune_all INTERFACE)
add_library(rooftune::all ALIAS rooftune_all)
target_link_libraries(rooftune_all INTERFACE ${rooftune_layer_targets})
set_target_properties(rooftune_all PROPERTIES EXPORT_NAME all)
install(TARGETS rooftune_all EXPORT rooftuneTargets COMPONENT development)

set(rooftune_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/rooftune)
set(rooftune_data_dir ${CMAKE_INSTALL_DATADIR}/rooftune)
install(EXPORT rooftuneTargets NAMESPACE rooftune:: DESTINATION ${rooftune_package_dir} COMPONENT development)
configure_package_config_file(cmake/rooftuneConfig.cmake.in ${PROJECT_BINARY_DIR}/rooftuneConfig.cmake
  INSTALL_DESTINATION ${rooftune_package_dir} PATH_VARS rooftune_data_dir)
# Before 1.0 a minor release may break users.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/rooftuneConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/rooftuneConfig.cmake ${PROJECT_BINARY_DIR}/rooftuneConfigVersion.cmake
  DESTINATION ${rooftune_package_dir} COMPONENT development)

foreach(folder configs ground_truth bench_data experiments schema)
  if(IS_DIRECTORY ${PROJECT_SOURCE_DIR}/${folder})
    install(DIRECTORY ${folder} DESTINATION ${rooftune_data_dir} COMPONENT program)
  endif()
endforeach()
install(FILES LICENSE NOTICE README.md CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT program)
