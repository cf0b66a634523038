<?php

namespace Landfall\Greeting;

final class Greeting
{
    public static function to(string $whom): string
    {
        return mb_strtoupper("hello $whom");
    }
}
