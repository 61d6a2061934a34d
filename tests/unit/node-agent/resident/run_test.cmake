# The programs themselves: a slot's tasks and `openjd run` call them.
target_link_libraries(${target} PRIVATE kiln_session)
target_compile_definitions(${target} PRIVATE KILN_RESIDENT="$<TARGET_FILE:kiln-resident>" OPENJD="$<TARGET_FILE:openjd>")
add_dependencies(${target} kiln-resident openjd)
