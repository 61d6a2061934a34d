/* openapi.yaml as bytes of the program. KILN_OPENAPI is its path, from CMakeLists.txt. */
    .section .rodata
    .global kiln_openapi_begin
    .global kiln_openapi_end
kiln_openapi_begin:
    .incbin KILN_OPENAPI
kiln_openapi_end:
    .byte 0
    .section .note.GNU-stack, "", %progbits
