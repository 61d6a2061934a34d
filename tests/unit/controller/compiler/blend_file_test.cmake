# Real scenes, where this checkout has them (shared/scenes beside the project); KILN_SCENES names others.
target_compile_definitions(test_compiler_blend_file PRIVATE KILN_SCENES_DEFAULT="${PROJECT_SOURCE_DIR}/../shared/scenes")
target_link_libraries(test_compiler_blend_file PRIVATE ZLIB::ZLIB PkgConfig::ZSTD)
