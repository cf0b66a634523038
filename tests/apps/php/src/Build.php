<?php

namespace App;

use Composer\Script\Event;

/** What Composer runs when the app is built. */
final class Build
{
    public static function note(Event $event): void
    {
        file_put_contents('built.txt', $event->isDevMode() ? 'development' : 'production');
    }
}
