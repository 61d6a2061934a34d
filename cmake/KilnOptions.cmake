# Language level, warnings and sanitizers: the same for every room.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(THREADS_PREFER_PTHREAD_FLAG ON)

option(KILN_WERROR "Warnings are errors (the dev presets)" OFF)
set(KILN_SANITIZE "" CACHE STRING "Sanitizers, as -fsanitize= takes them")

# C++ options only: the tree also holds assembler files, which do not know them.
foreach(flag -Wall -Wextra -Wpedantic -Wshadow=local -Wnon-virtual-dtor -Wold-style-cast
             -Woverloaded-virtual -Wformat=2 -fno-omit-frame-pointer -fstack-protector-strong)
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:${flag}>)
endforeach()
add_compile_options($<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CONFIG:Release>>:-D_FORTIFY_SOURCE=2>)
if(KILN_WERROR)
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-Werror>)
endif()
if(KILN_SANITIZE)
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${KILN_SANITIZE}>)
  add_link_options(-fsanitize=${KILN_SANITIZE})
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    # gcc 12 loses sight of tl::expected's and Json's discriminants in instrumented code and warns of values that
    # are never read.
    add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-Wno-maybe-uninitialized>)
  endif()
endif()
option(KILN_LIBFUZZER "Fuzz targets with libFuzzer's coverage-guided mutations (clang only; see tests/fuzz)" OFF)
if(KILN_LIBFUZZER)
  add_compile_options(-fsanitize=fuzzer-no-link)
  add_link_options(-fsanitize=fuzzer-no-link)
endif()
# A function nobody calls does not ship: the agent stays small.
add_compile_options(-ffunction-sections -fdata-sections)
add_link_options(-Wl,--gc-sections -Wl,-z,relro,-z,now)

find_program(KILN_CCACHE ccache)
if(KILN_CCACHE)
  # What one clone has compiled serves every other one, wherever it lies.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${KILN_CCACHE})
endif()
