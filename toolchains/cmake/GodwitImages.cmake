# SPDX-License-Identifier: Apache-2.0
# Firmware images as a part of the host's build, each in a build folder of its own: images/<name>/firmware.elf.
# The same by hand: cmake --preset <name> && cmake --build --preset <name>.
include(ExternalProject)
include(FetchDeps)
set(GODWIT_IMAGES_DIR ${CMAKE_BINARY_DIR}/images)
add_custom_target(images)

# godwit_image(<name> <board> [<cache setting>...])
function(godwit_image name board)
  list(TRANSFORM ARGN PREPEND -D OUTPUT_VARIABLE settings)
  ExternalProject_Add(image_${name}
    SOURCE_DIR ${CMAKE_SOURCE_DIR}
    BINARY_DIR ${GODWIT_IMAGES_DIR}/${name}
    CMAKE_ARGS -G Ninja -D CMAKE_BUILD_TYPE=Release -D GODWIT_BOARD=${board}
               -D CMAKE_TOOLCHAIN_FILE=${CMAKE_SOURCE_DIR}/toolchains/arm-none-eabi.cmake
               -D CMAKE_C_COMPILER_LAUNCHER=${CMAKE_C_COMPILER_LAUNCHER}
               -D CMAKE_CXX_COMPILER_LAUNCHER=${CMAKE_CXX_COMPILER_LAUNCHER}
               ${settings}
    BUILD_ALWAYS TRUE
    BUILD_BYPRODUCTS ${GODWIT_IMAGES_DIR}/${name}/firmware.elf
    INSTALL_COMMAND ""
    USES_TERMINAL_BUILD TRUE)  # one at a time: each uses all cores
  add_dependencies(images image_${name})
endfunction()

godwit_image(qemu_lm3s6965 qemu_lm3s6965)
godwit_image(qemu_lm3s6965_tls12 qemu_lm3s6965 GODWIT_TLS=1.2)
godwit_image(qemu_mps2_an385 qemu_mps2_an385)

# Only a distribution's archive has these two, as long as it does: all else is built and tested without them.
set(GODWIT_PICO_MISSING "")
foreach(name pico-sdk tinyusb)
  deps_fetch(${name} OPTIONAL)
  if(NOT ${name}_SOURCE_DIR)
    list(APPEND GODWIT_PICO_MISSING ${name})
  endif()
endforeach()
if(GODWIT_PICO_MISSING)
  list(JOIN GODWIT_PICO_MISSING " and " GODWIT_PICO_MISSING)
  message(WARNING "The images pico and pico2 are not built: without ${GODWIT_PICO_MISSING}")
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/.deps/src)  # once they are there
else()
  godwit_image(pico pico PICO_BOARD=pico)
  godwit_image(pico2 pico PICO_BOARD=pico2)
endif()
