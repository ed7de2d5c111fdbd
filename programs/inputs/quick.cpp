// A little of what templates.cpp has, for tests that are to be quick.
#include <cstdio>
#include <map>
#include <tuple>
#include <vector>

template <int N> struct Deep { using type = std::tuple<typename Deep<N - 1>::type, std::vector<char[N]>>; };
template <> struct Deep<0> { using type = int; };

int main() {
    std::map<int, std::vector<int>> table;
    for (int i = 0; i < 1000; i++) table[i % 10].push_back(i);
    printf("%zu %zu\n", sizeof(Deep<40>::type), table[3].size());
}
