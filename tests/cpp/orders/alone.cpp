/// alone.cpp -- the reports with no header but the one they need.

#include <libgrad/gradcheck.h>

#include "orders/reports.h"

int main() {
  orders::print_gradcheck();
}
