# INPUT (text) -> OUTPUT, a C++ file that defines kiln::session::resident_script. The text is cut into raw
# string literals below the 65,536 characters that the standard promises a literal may have.
file(READ ${INPUT} text)
string(LENGTH "${text}" left)
set(literals "")
set(at 0)
while(at LESS left)
  string(SUBSTRING "${text}" ${at} 12000 part)
  string(APPEND literals "    R\"~py~(${part})~py~\"\n")
  math(EXPR at "${at} + 12000")
endwhile()
file(WRITE ${OUTPUT} "#include \"session/resident.h\"\n\nnamespace kiln::session {\n\n"
     "const std::string_view resident_script =\n${literals}    ;\n\n}  // namespace kiln::session\n")
