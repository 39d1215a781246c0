#pragma once

namespace rooftune::report {

/// How many characters a line of the terminal has that tables are printed to; 0, at first: any number (files and pipes). Tables that
/// are wider leave out what says least, and say so.
void set_line_width(int characters);
[[nodiscard]] int line_width();

}  // namespace rooftune::report
