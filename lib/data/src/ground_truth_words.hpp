#pragma once

#include <array>

#include "rooftune/core/word.hpp"
#include "rooftune/domain/experiment.hpp"

namespace rooftune::data {

/// The words of ground truth files, for their reader and their writer.
inline constexpr std::array<core::Word<domain::Role>, 3> kRoles{
    {{"calibration", domain::Role::calibration}, {"new_gpu", domain::Role::new_gpu}, {"overload", domain::Role::overload}}};
inline constexpr std::array<core::Word<domain::MeasuredAt>, 2> kMeasuredAt{
    {{"client", domain::MeasuredAt::client}, {"server", domain::MeasuredAt::server}}};
inline constexpr std::array<core::Word<domain::ArrivalProcess>, 6> kProcesses{
    {{"conditioned_poisson", domain::ArrivalProcess::conditioned_poisson},
     {"poisson", domain::ArrivalProcess::poisson},
     {"gamma", domain::ArrivalProcess::gamma},
     {"constant", domain::ArrivalProcess::constant},
     {"closed_loop", domain::ArrivalProcess::closed_loop},
     {"trace", domain::ArrivalProcess::trace}}};
inline constexpr std::array<core::Word<domain::Metric>, domain::kMetricCount> kMetricFields{
    {{"ttft_mean", domain::Metric::ttft_mean},
     {"ttft_p90", domain::Metric::ttft_p90},
     {"ttft_p99", domain::Metric::ttft_p99},
     {"e2e_mean", domain::Metric::e2e_mean},
     {"e2e_p90", domain::Metric::e2e_p90},
     {"e2e_p99", domain::Metric::e2e_p99},
     {"tpot_true_mean", domain::Metric::tpot_mean},
     {"ttft_median", domain::Metric::ttft_median},
     {"e2e_median", domain::Metric::e2e_median},
     {"tpot_median", domain::Metric::tpot_median}}};
inline constexpr std::array<core::Word<domain::ClientStart>, 2> kClientStarts{
    {{"burst", domain::ClientStart::burst}, {"ramp", domain::ClientStart::ramp}}};
inline constexpr std::array<core::Word<domain::RateRamp>, 2> kRateRamps{
    {{"linear", domain::RateRamp::linear}, {"exponential", domain::RateRamp::exponential}}};
inline constexpr std::array<core::Word<domain::WarmUp::Prompt>, 2> kWarmUpPrompts{
    {{"first", domain::WarmUp::Prompt::first}, {"next", domain::WarmUp::Prompt::next}}};
inline constexpr std::array<core::Word<domain::ThinkTime::Shape>, 2> kThinkTimes{
    {{"constant", domain::ThinkTime::Shape::constant}, {"exponential", domain::ThinkTime::Shape::exponential}}};

}  // namespace rooftune::data
