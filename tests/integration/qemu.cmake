# SPDX-License-Identifier: Apache-2.0
# Firmware images on boards that QEMU plays: ctest -L qemu. Each test is compiled once and linked once for each kind of
# board, so that a board is a test of CTest's own: qemu_lm3s6965_delivery, qemu_mps2_an385_delivery, and so on.
godwit_library(godwit_test_qemu qemu_test.cc)
target_link_libraries(godwit_test_qemu PUBLIC godwit_test_boards GTest::gtest GTest::gmock
                                       PRIVATE ${GODWIT_CJSON_LIBRARY})

set(models_qemu_lm3s6965 kLm3s6965)
set(models_qemu_mps2_an385 kMps2An385)

# godwit_qemu_test(<part> [BOARDS <board>...] [LIBS <target>...] [PROCESSORS <n>] [SERIAL])
# PROCESSORS: so many it keeps busy; the others mostly wait. SERIAL: it has the machine for itself.
function(godwit_qemu_test part)
  cmake_parse_arguments(arg "SERIAL" "PROCESSORS" "BOARDS;LIBS" ${ARGN})
  set(serial "")
  if(arg_SERIAL)
    set(serial SERIAL)
  endif()
  if(NOT arg_BOARDS)
    set(arg_BOARDS qemu_lm3s6965 qemu_mps2_an385)
  endif()
  add_library(qemu_${part} OBJECT qemu_${part}_test.cc)
  target_compile_options(qemu_${part} PRIVATE ${_godwit_warnings})
  target_link_libraries(qemu_${part} PRIVATE godwit_test_qemu ${arg_LIBS})
  foreach(board IN LISTS arg_BOARDS)
    godwit_test(${board}_${part} SOURCES qemu_model.cc $<TARGET_OBJECTS:qemu_${part}>
                LIBS godwit_test_qemu ${arg_LIBS} LABEL qemu TIMEOUT 300 ${serial})
    target_compile_definitions(${board}_${part} PRIVATE GODWIT_QEMU_MODEL=${models_${board}})
    if(arg_PROCESSORS)
      set_tests_properties(${board}_${part} PROPERTIES PROCESSORS ${arg_PROCESSORS})
    endif()
    add_dependencies(qemu_tests ${board}_${part})
  endforeach()
endfunction()

add_custom_target(qemu_tests)  # with the images they run
add_dependencies(qemu_tests images)
foreach(part delivery faults time)
  godwit_qemu_test(${part})
endforeach()
godwit_qemu_test(power PROCESSORS 2)
godwit_qemu_test(trust LIBS godwit_test_pki)
godwit_qemu_test(full BOARDS qemu_lm3s6965)  # the other one's storage takes half a million records
godwit_qemu_test(wire LIBS godwit_mcu godwit_board_host SERIAL)

# Both kinds together.
godwit_test(qemu_fleet SOURCES qemu_model.cc qemu_fleet_test.cc LIBS godwit_test_qemu LABEL qemu TIMEOUT 300 SERIAL)
target_compile_definitions(qemu_fleet PRIVATE GODWIT_QEMU_MODEL=kLm3s6965)
add_dependencies(qemu_tests qemu_fleet)

# Not one of CTest's tests: it takes as long as one likes.
foreach(board qemu_lm3s6965 qemu_mps2_an385)
  godwit_program(${board}_soak qemu_soak.cc qemu_model.cc)
  target_link_libraries(${board}_soak PRIVATE godwit_test_qemu godwit_test_main)
  target_compile_definitions(${board}_soak PRIVATE GODWIT_QEMU_MODEL=${models_${board}})
endforeach()
