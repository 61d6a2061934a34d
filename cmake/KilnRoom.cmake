# One room = one folder = one library = one namespace.
#
#   kiln_room(NAME SOURCES file... DEPENDS room... LIBRARIES target...)
#
# makes the static library kiln_NAME from this folder. DEPENDS are rooms (public), LIBRARIES are
# outside libraries (private: their headers stay inside the room).
function(kiln_room name)
  cmake_parse_arguments(ROOM "" "" "SOURCES;DEPENDS;LIBRARIES" ${ARGN})
  add_library(kiln_${name} STATIC ${ROOM_SOURCES})
  cmake_path(GET CMAKE_CURRENT_SOURCE_DIR PARENT_PATH house)
  target_include_directories(kiln_${name} PUBLIC ${house} PRIVATE ${CMAKE_CURRENT_BINARY_DIR})
  foreach(room IN LISTS ROOM_DEPENDS)
    target_link_libraries(kiln_${name} PUBLIC kiln_${room})
  endforeach()
  target_link_libraries(kiln_${name} PRIVATE ${ROOM_LIBRARIES})
endfunction()
