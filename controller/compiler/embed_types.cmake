# cmake -DFOLDER=types -DOUTPUT=types_embedded.inc -P embed_types.cmake
# Writes one `{"name", R"type(…)type"},` per name.yaml.
file(GLOB files RELATIVE ${FOLDER} ${FOLDER}/*.yaml)
list(SORT files)
set(text "// Made from ${FOLDER} by embed_types.cmake.\n")
foreach(file IN LISTS files)
  if(NOT file MATCHES "^([a-z0-9-]+)\\.yaml$")
    message(FATAL_ERROR "${FOLDER}/${file}: a job type is named with a-z, 0-9 and -")
  endif()
  set(name ${CMAKE_MATCH_1})
  file(READ ${FOLDER}/${file} yaml)
  # One literal holds 64 KiB, by the standard.
  string(LENGTH "${yaml}" length)
  if(length GREATER 60000)
    message(FATAL_ERROR "${FOLDER}/${file}: ${length} characters are more than a literal may hold")
  endif()
  string(APPEND text "{\"${name}\", R\"type(${yaml})type\"},\n")
endforeach()
file(WRITE ${OUTPUT} "${text}")
