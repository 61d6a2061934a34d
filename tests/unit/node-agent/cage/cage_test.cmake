add_dependencies(${target} kiln-cage)
