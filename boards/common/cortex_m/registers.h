// SPDX-License-Identifier: Apache-2.0
// Memory-mapped registers, and those of the processor itself (Arm, "ARMv7-M Architecture Reference Manual",
// B3.2; the ones used here are the same in ARMv6-M and ARMv8-M, but for the fault status of ARMv6-M, which
// has none). Masking of interrupts.
#pragma once

#include <cstdint>

namespace godwit::boards {

// The 32-bit register at `address`.
inline volatile std::uint32_t& reg(std::uintptr_t address) {
  return *reinterpret_cast<volatile std::uint32_t*>(address);
}

inline constexpr std::uintptr_t kSysTickControl = 0xE000'E010;
inline constexpr std::uintptr_t kSysTickReload = 0xE000'E014;
inline constexpr std::uintptr_t kSysTickValue = 0xE000'E018;
inline constexpr std::uintptr_t kNvicEnable = 0xE000'E100;  // one bit per interrupt, 32 in a register
inline constexpr std::uintptr_t kNvicDisable = 0xE000'E180;
inline constexpr std::uintptr_t kNvicClearPending = 0xE000'E280;
inline constexpr std::uintptr_t kInterruptControl = 0xE000'ED04;  // ICSR
inline constexpr std::uint32_t kSysTickPending = 1U << 26;        // in ICSR
inline constexpr std::uintptr_t kVectorTable = 0xE000'ED08;       // VTOR
inline constexpr std::uintptr_t kResetControl = 0xE000'ED0C;      // AIRCR
inline constexpr std::uintptr_t kSystemPriority3 = 0xE000'ED20;   // of PendSV and SysTick
inline constexpr std::uintptr_t kFaultStatus = 0xE000'ED28;       // CFSR
inline constexpr std::uintptr_t kMemManageAddress = 0xE000'ED34;  // MMFAR
inline constexpr std::uintptr_t kBusFaultAddress = 0xE000'ED38;   // BFAR
inline constexpr std::uintptr_t kMpuControl = 0xE000'ED94;
inline constexpr std::uintptr_t kMpuRegionBase = 0xE000'ED9C;
inline constexpr std::uintptr_t kMpuRegionSize = 0xE000'EDA0;

// No interrupt handler runs while one of these exists. They nest.
class InterruptsOff {
 public:
  InterruptsOff() {
    asm volatile("mrs %0, primask" : "=r"(before_));
    asm volatile("cpsid i" ::: "memory");
  }
  ~InterruptsOff() { asm volatile("msr primask, %0" ::"r"(before_) : "memory"); }
  InterruptsOff(const InterruptsOff&) = delete;
  InterruptsOff& operator=(const InterruptsOff&) = delete;

 private:
  std::uint32_t before_;
};

}  // namespace godwit::boards
