#include "rooftune/core/distributions.hpp"

#include <boost/math/distributions/normal.hpp>
#include <boost/math/distributions/students_t.hpp>

#include "rooftune/core/contract.hpp"

namespace rooftune::core {

double normal_quantile(double probability) {
  ROOFTUNE_EXPECTS(probability > 0.0 && probability < 1.0);
  return boost::math::quantile(boost::math::normal_distribution<double>(), probability);
}

double student_t_quantile(double probability, long degrees_of_freedom) {
  ROOFTUNE_EXPECTS(probability > 0.0 && probability < 1.0);
  ROOFTUNE_EXPECTS(degrees_of_freedom >= 1);
  return boost::math::quantile(boost::math::students_t_distribution<double>(static_cast<double>(degrees_of_freedom)), probability);
}

}  // namespace rooftune::core
