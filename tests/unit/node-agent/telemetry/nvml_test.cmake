# NVML for the probe to load: healthy, failing, hanging or crashing.
add_library(fake_nvml SHARED ${CMAKE_CURRENT_LIST_DIR}/fake_nvml.cpp)
add_dependencies(${target} fake_nvml)
target_compile_definitions(${target} PRIVATE FAKE_NVML_LIBRARY="$<TARGET_FILE:fake_nvml>")
