# Hashes of arrays, texts that grow, substitutions, sorting, closures, and data that refers to itself until it is undone.
use strict; use warnings;
my ($n) = @ARGV;
my $seed = 1;
sub number { $seed = ($seed * 1103515245 + 12345) % 2147483648; return $seed }
for my $turn (1 .. $n) {
    my (%words, @all);
    for (1 .. 20000) {
        my $word = join '', map { chr(97 + number() / 65536 % 26) } 1 .. 3 + number() / 65536 % 9;
        push @{$words{substr $word, 0, 2}}, $word;
        push @all, $word;
    }
    my $text = join ' ', @all;
    (my $other = $text) =~ s/([aeiou])([^aeiou ]+)/<$1-$2>/g;
    my @sorted = sort { length $a <=> length $b || $a cmp $b } @all;
    my %count; $count{length $_}++ for split / /, $text;
    my $grown = ''; $grown .= "$_," for 1 .. 50000;
    my @closures = map { my $i = $_; sub { $i * $_[0] } } 1 .. 5000;
    my $sum = 0; $sum += $_->(3) for @closures;
    my @ring = map { { number => $_ } } 1 .. 5000;
    $ring[$_]{next} = $ring[($_ + 1) % @ring] for 0 .. $#ring;
    my ($at, $steps) = ($ring[0], 0);
    while ($steps < 20000) { $at = $at->{next}; $steps++ }
    print join(' ', length $other, $sorted[0], $sorted[-1], scalar(keys %words), length $grown, $sum, $at->{number}), "\n";
    print join(' ', map { "$_=$count{$_}" } sort { $a <=> $b } keys %count), "\n";
    delete $_->{next} for @ring;
    my @matrix = map { my $row = $_; [ map { $_ * $row } 1 .. 200 ] } 1 .. 200;
    my $trace = 0; $trace += $matrix[$_][$_] for 0 .. 199;
    print "$trace ", unpack('%32C*', pack('N*', map { @$_ } @matrix)), "\n";
}
