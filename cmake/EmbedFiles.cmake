# Writes a C++ file that holds text files as std::string_views; run with cmake -P when one of them changes.
#   -DOUTPUT=... -DHEADER=page_files.hpp -DNAMESPACE=... -DFILES=kName=path,kName=path|path
# Several paths: one text, in their order.
string(REPLACE "," ";" files "${FILES}")
set(text "#include \"${HEADER}\"\n\nnamespace ${NAMESPACE} {\n\n")
foreach(file IN LISTS files)
  string(REGEX MATCH "^([^=]+)=(.+)$" ignored "${file}")
  set(name ${CMAKE_MATCH_1})
  string(REPLACE "|" ";" paths "${CMAKE_MATCH_2}")
  set(content "")
  foreach(path IN LISTS paths)
    file(READ "${path}" part)
    string(APPEND content "${part}")
  endforeach()
  string(APPEND text "constexpr std::string_view ${name}Text = R\"embedded(${content})embedded\";\n")
  string(APPEND text "const std::string_view ${name} = ${name}Text;\n\n")
endforeach()
string(APPEND text "}  // namespace ${NAMESPACE}\n")
file(WRITE "${OUTPUT}" "${text}")
