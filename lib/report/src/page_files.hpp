#pragma once

#include <string_view>

/// The files of lib/report/page, embedded when the layer is built (cmake/EmbedFiles.cmake).
namespace rooftune::report::page {

extern const std::string_view kTemplate;  ///< report.html
extern const std::string_view kStyle;     ///< report.css
extern const std::string_view kModules;   ///< modules.js
extern const std::string_view kPlots;     ///< plots.js
extern const std::string_view kPages;     ///< kit.js, pages/*.js, navigation.js

}  // namespace rooftune::report::page
