# cmake -D CASE=... -D EXPECTED=<regular expression, or "success"> -D PROJECT=... -D BUILD=... -D ROOFTUNE_CMAKE_DIR=... -P this
# Configures and builds a project, headers on their own included, and demands success or a failure with the expected words.
file(REMOVE_RECURSE ${BUILD})
execute_process(
  COMMAND ${CMAKE_COMMAND} -S ${PROJECT} -B ${BUILD} -G Ninja -D CASE=${CASE} -D ROOFTUNE_CMAKE_DIR=${ROOFTUNE_CMAKE_DIR}
  RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
if(status EQUAL 0)
  execute_process(COMMAND ${CMAKE_COMMAND} --build ${BUILD} --target all all_verify_interface_header_sets
    RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
endif()
if(EXPECTED STREQUAL "success")
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "case '${CASE}' should build:\n${output}")
  endif()
elseif(status EQUAL 0)
  message(FATAL_ERROR "case '${CASE}' should fail to build, but it does not")
elseif(NOT output MATCHES "${EXPECTED}")
  message(FATAL_ERROR "case '${CASE}' fails without saying '${EXPECTED}':\n${output}")
endif()
