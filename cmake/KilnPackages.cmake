# `cpack -G DEB` in a build directory: kiln-controller, kiln-agent, kiln-box and kiln as .deb, one per install component.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_VENDOR Kiln)
set(CPACK_PACKAGE_CONTACT "Kiln maintainers <maintainers@kiln.invalid>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY ${PROJECT_DESCRIPTION})
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL kiln-controller kiln-agent kiln-box kiln)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION graphics)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_ENABLE_COMPONENT_DEPENDS OFF)
set(CPACK_COMPONENTS_GROUPING ONE_PER_GROUP)

set(CPACK_DEBIAN_KILN-CONTROLLER_PACKAGE_NAME kiln-controller)
set(CPACK_COMPONENT_KILN-CONTROLLER_DESCRIPTION "Render farm controller: scheduler, HTTP API, web page")
set(CPACK_DEBIAN_KILN-CONTROLLER_PACKAGE_DEPENDS "mosquitto, libvips-tools, systemd | systemd-sysusers")
set(CPACK_DEBIAN_KILN-CONTROLLER_PACKAGE_RECOMMENDS "kiln, ffmpeg, avahi-daemon")

set(CPACK_DEBIAN_KILN-AGENT_PACKAGE_NAME kiln-agent)
set(CPACK_COMPONENT_KILN-AGENT_DESCRIPTION "Render farm node daemon")
set(CPACK_DEBIAN_KILN-AGENT_PACKAGE_DEPENDS "bubblewrap, systemd | systemd-sysusers")
set(CPACK_DEBIAN_KILN-AGENT_PACKAGE_RECOMMENDS "blender, pci.ids")

set(CPACK_DEBIAN_KILN-BOX_PACKAGE_NAME kiln-box)
set(CPACK_COMPONENT_KILN-BOX_DESCRIPTION "What a flashed render box does as root (image/)")
set(CPACK_DEBIAN_KILN-BOX_PACKAGE_DEPENDS "kiln-agent, rauc")

set(CPACK_DEBIAN_KILN_PACKAGE_NAME kiln)
set(CPACK_COMPONENT_KILN_DESCRIPTION "Render farm command line")
set(CPACK_DEBIAN_KILN_PACKAGE_RECOMMENDS "blender, ffmpeg")

set(package_scripts ${PROJECT_SOURCE_DIR}/cmake/packages)
foreach(daemon controller agent)
  string(TOUPPER ${daemon} upper)
  set(CPACK_DEBIAN_KILN-${upper}_PACKAGE_CONTROL_STRICT_PERMISSION ON)
  set(CPACK_DEBIAN_KILN-${upper}_PACKAGE_CONTROL_EXTRA
      "${package_scripts}/kiln-${daemon}/postinst;${package_scripts}/kiln-${daemon}/prerm;${package_scripts}/kiln-${daemon}/postrm")
endforeach()
# What a person may change there stays as it is over an update.
list(APPEND CPACK_DEBIAN_KILN-CONTROLLER_PACKAGE_CONTROL_EXTRA "${package_scripts}/kiln-controller/conffiles")
include(CPack)
