# SPDX-License-Identifier: Apache-2.0
# Cortex-M with the distribution's gcc-arm-none-eabi and newlib-nano. The board adds its processor (-mcpu) in
# boards/<board>/processor.cmake, as every file of the image, libraries included, is compiled for it.
set(CMAKE_SYSTEM_NAME Generic)
set(CMAKE_SYSTEM_PROCESSOR arm)
set(CMAKE_C_COMPILER arm-none-eabi-gcc)
set(CMAKE_CXX_COMPILER arm-none-eabi-g++)
find_program(CMAKE_AR arm-none-eabi-gcc-ar)  # these two know archives of link-time optimisation
find_program(CMAKE_RANLIB arm-none-eabi-gcc-ranlib)
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)  # nothing links without a board
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES GODWIT_BOARD)

include(${CMAKE_CURRENT_LIST_DIR}/../boards/${GODWIT_BOARD}/processor.cmake)  # sets GODWIT_PROCESSOR, GODWIT_OPTIMISE
get_filename_component(_godwit_root ${CMAKE_CURRENT_LIST_DIR} DIRECTORY)
string(CONCAT CMAKE_C_FLAGS_INIT
  "${GODWIT_PROCESSOR} -mthumb --specs=nano.specs -ffunction-sections -fdata-sections -Wno-psabi "
  "-fmacro-prefix-map=${_godwit_root}/=")  # __FILE__ in an assertion's message is what the tree calls it
set(CMAKE_CXX_FLAGS_INIT "${CMAKE_C_FLAGS_INIT} -fno-exceptions -fno-rtti -fno-threadsafe-statics")
set(CMAKE_C_FLAGS_RELEASE "-Os -g ${GODWIT_OPTIMISE}")
set(CMAKE_CXX_FLAGS_RELEASE "-Os -g ${GODWIT_OPTIMISE}")

set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
