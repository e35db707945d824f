# SPDX-License-Identifier: Apache-2.0
godwit_test(mqtt_tool_integration SOURCES mqtt_tool_test.cc mqtt_conformance_test.cc mqtt_hostile_test.cc
            LIBS godwit_test_process godwit_test_pki LABEL integration)
target_compile_definitions(mqtt_tool_integration PRIVATE GODWIT_MQTT_PROGRAM="$<TARGET_FILE:godwit-mqtt>")
add_dependencies(mqtt_tool_integration godwit-mqtt)
