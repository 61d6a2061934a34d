# cmake -DSCRIPT=inspect_scene.py -DOUTPUT=inspect_script.cpp -P embed_script.cmake
file(READ ${SCRIPT} text)
file(WRITE ${OUTPUT} "// Made from ${SCRIPT} by embed_script.cmake.
#include \"cli/inspect_script.h\"

namespace kiln::cli {

std::string_view inspect_script() {
  return R\"python(${text})python\";
}

}  // namespace kiln::cli
")
